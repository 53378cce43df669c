"""What commands do that is more than one call of a room below: choosing by the form of a source or a target."""
