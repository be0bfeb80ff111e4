"""What others are built like, for the same five-hop session: started by tests/bench side by side with the gateway."""
