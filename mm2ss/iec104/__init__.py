"""IEC 60870-5-104: frames, links and ASDUs. Knows nothing of groups or relaying."""
