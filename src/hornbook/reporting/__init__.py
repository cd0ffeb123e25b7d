"""The report: what a run's folders say, gathered into numbers, drawn, and set as one page."""
