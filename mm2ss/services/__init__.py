"""What stands around the groups: event logs, and the services of the process."""
