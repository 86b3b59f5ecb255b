"""Programs behind the tables of the documents; nothing imports them."""
