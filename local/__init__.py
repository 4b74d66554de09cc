"""The whole system on one machine: small strict stand-ins for what AWS adds to the deployed application."""
