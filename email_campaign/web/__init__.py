"""The HTTP door: REST API, admin pages, public pages."""
