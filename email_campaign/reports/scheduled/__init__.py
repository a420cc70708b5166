"""Scheduled reports: what became of a day, a week or a month, frozen as a row, as a page, a PDF and a mail."""
