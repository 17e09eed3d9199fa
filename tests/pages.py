"""What a page of HTML holds, for tests to look at."""

from html.parser import HTMLParser

VOID = {"img", "meta", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a page holds; a tag that is not closed, or closed twice, is an error."""

    def __init__(self, text):
        super().__init__()
        self.images, self.tags, self.links, self.ids = [], set(), [], []
        self.rows, self.text, self._open = [], "", []
        self.feed(text)
        self.close()
        assert not self._open
        assert {link[1:] for link in self.links if link.startswith("#")} <= set(self.ids)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        assert not any(name.startswith("on") for name in attributes)
        self.tags.add(tag)
        if tag not in VOID:
            self._open.append(tag)
        if tag == "img":
            self.images.append(attributes)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes[n] for n in ("href", "src", "srcset", "data") if n in attributes]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" not in self._open:
            self.text += data
            if {"th", "td"} & set(self._open):
                self.rows[-1][-1] += data

    def row(self, name):
        return next(row for row in self.rows if row[0].strip() == name)
