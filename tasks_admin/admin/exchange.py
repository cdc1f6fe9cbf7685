"""Export and import through django-import-export (placeholder while the rest is laid out)."""


class UserExchange:
    """Users in and out."""
