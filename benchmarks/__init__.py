"""What the project claims about speed and harm, measured."""
