"""What several tests share: samples, peers, servers and programs that run as processes."""
