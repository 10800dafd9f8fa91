"""What people look at: progress, reports, pictures, pages, event files."""
