"""The Python clients `kubernetes` and `kopf`, unmodified."""
