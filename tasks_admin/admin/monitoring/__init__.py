"""The endpoints for monitoring systems: /healthz, /readyz and /metrics."""
