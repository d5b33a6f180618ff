"""What an error says, with the notes that were added on its way up."""


def said(error):
    return "\n".join([str(error), *getattr(error, "__notes__", [])])
