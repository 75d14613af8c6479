"""What a user starts: each command's words in, its work done by the other rooms."""
