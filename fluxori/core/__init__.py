"""What every floor may use: the clock, the kinds of refusal, identifiers, SQL beside a migration."""
