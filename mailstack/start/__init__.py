"""The first stack file: what is asked, what is found out, and the text that is written."""
