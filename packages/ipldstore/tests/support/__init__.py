"""Helpers that several tests share: samples, the reference, servers, and programs that run as processes."""
