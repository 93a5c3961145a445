"""Core's own backends; they answer through the same hooks as everybody's."""
