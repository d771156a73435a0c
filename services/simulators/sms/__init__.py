"""SMS in the form of Twilio's API."""
