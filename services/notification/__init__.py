"""Takes notifications: the reply means that a majority of the store has them; says what became of them."""
