"""The search for better params: what is searched, how, and where what was found is kept."""
