"""HTTP endpoints for login, the caller's own data, and the provisioning of users, organizations and members."""
