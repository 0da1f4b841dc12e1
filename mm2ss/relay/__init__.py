"""One group: a controlled station (RTU) shared by many controlling stations (masters)."""
