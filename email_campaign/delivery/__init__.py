"""How each copy gets there: enrolment, windows, sending, the ledger."""
