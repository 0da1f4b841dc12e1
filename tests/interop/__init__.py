"""The relay as a real process, between real peers, over real sockets."""
