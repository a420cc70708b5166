"""The inbox: an SMTP server that delivers nothing, with MailHog's API and a page to read what arrived."""
