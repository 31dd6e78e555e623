"""Commands for operators: doctor, rollback, clean, stop-jobs, verify, forget."""
