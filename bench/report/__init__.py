"""What a report tells: prepared from a results folder as plain data, written by any format."""
