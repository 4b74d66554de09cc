"""What a person sees of an answer: pure functions from an answer to what rich prints."""
