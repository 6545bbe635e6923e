"""The part that imports torch. It runs inside workers; nothing that reads results imports it."""
