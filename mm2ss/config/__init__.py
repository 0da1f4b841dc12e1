"""What the CSV and the service file say, as frozen values; nothing here opens a connection."""
