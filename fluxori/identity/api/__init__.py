"""The doors of identity: logging in, who am I, and provisioning."""
