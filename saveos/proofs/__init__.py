"""What shows that backups can be restored: checks of repositories, restore drills, and reports for an auditor."""
