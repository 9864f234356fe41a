"""What people read: mails and pages, French first, English second."""
