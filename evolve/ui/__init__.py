"""What people see: live view, plain lines, tables."""
