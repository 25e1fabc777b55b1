"""The clauses that every policy has: reasons that come from the machine itself and not from a shop's rules.

A policy may give any of them words of its own under the same name.
"""

from __future__ import annotations

LANGUAGES = ("en", "zh")
"""Every clause has words in all of these."""

BUILT_IN: dict[str, dict[str, str]] = {
    "unreadable": {
        "en": "The file could not be read as a picture. Please send another photo.",
        "zh": "该文件无法作为图片读取。请重新上传照片。",
    },
    "too-small": {
        "en": "The photo is too small to be judged. Please send a larger one.",
        "zh": "照片尺寸过小，无法判断。请上传更大的照片。",
    },
    "unknown": {
        "en": "The photo is unlike those that the machine knows, so a person looks at it.",
        "zh": "该照片与机器所了解的照片差异较大，将由人工查看。",
    },
    "unsure": {
        "en": "The machine is not sure enough, so a person looks at it.",
        "zh": "机器的把握不足，将由人工查看。",
    },
    "no-promise": {
        "en": "Too few photos of this kind were reviewed for an automatic answer, so a person looks at it.",
        "zh": "此类照片的审核样本还不够多，不能自动判定，将由人工查看。",
    },
    "withdrawn": {
        "en": "Checks found too many wrong automatic answers of this kind, so a person looks at it.",
        "zh": "抽查发现此类自动判定的错误过多，现由人工查看。",
    },
    "rule": {
        "en": "The shop's rules ask a person to look at photos like this.",
        "zh": "根据店铺规则，此类照片须由人工查看。",
    },
    "known-fake": {
        "en": "This is a photo of an item that was confirmed to be a counterfeit.",
        "zh": "该照片所示商品此前已被确认为假冒商品。",
    },
    "like-fake": {
        "en": "The photo resembles one of a confirmed counterfeit, so a person looks at it.",
        "zh": "该照片与已确认的假冒商品照片相似，将由人工查看。",
    },
    "unlike-genuine": {
        "en": "The photo is inconsistent with the genuine references of this item, so a person looks at it.",
        "zh": "该照片与此商品的正品参考照片不一致，将由人工查看。",
    },
    "copied": {
        "en": "The photo is a copy of a reference photo. Please show the item itself.",
        "zh": "该照片是参考照片的副本。请上传商品本身的照片。",
    },
    "failed": {
        "en": "The machine could not answer for this photo, so a person looks at it.",
        "zh": "机器未能对该照片作出判断，将由人工查看。",
    },
    "all-right": {
        "en": "Nothing speaks against the photo.",
        "zh": "未发现该照片存在问题。",
    },
}
