"""Who may call: access tokens, their keys, and the administration of clients."""
