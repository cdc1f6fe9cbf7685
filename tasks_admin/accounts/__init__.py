"""Users: who may receive a reset email, the links, the rate limits and the public pages."""
