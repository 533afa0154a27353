"""What a person has to hear of: opened once when it begins, cleared once when it ends."""
