"""Writing textbook pages: asking for them, running their code, checking their claims, and keeping them different."""
