DROP VIEW credits_movement;
