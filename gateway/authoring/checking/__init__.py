"""What a configuration knows of components, and what else tools need to check a flow."""
