"""Who people are: users who log in by e-mail, the organizations they belong to, and their tokens."""
