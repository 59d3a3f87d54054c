"""Makes the sections of pages that are drawn from the code; each module has `SECTIONS`: name -> function."""
