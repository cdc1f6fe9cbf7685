"""What monitoring systems read: /healthz, /readyz and /metrics."""
