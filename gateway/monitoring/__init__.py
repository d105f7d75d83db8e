"""How the gateway is: for people, for service managers, for Prometheus."""
