/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of languages: containers speak ISO 639-2, playlists RFC 5646, which asks for the two
 * letters of ISO 639-1 where there are any. */
#include "transcode/transcode_proto.h"
#include <string.h>

#define ROW 6 /* two letters, three letters, a space */
/* [ISO 639-2, code tables] Each language's own name first; below, the other set (B) of names. */
static const char names[] =
    "aaaar ababk aeave afafr akaka amamh anarg arara asasm avava ayaym azaze babak bebel "
    "bgbul bhbih bibis bmbam bnben bobod brbre bsbos cacat ceche chcha cocos crcre csces "
    "cuchu cvchv cycym dadan dedeu dvdiv dzdzo eeewe elell eneng eoepo esspa etest eueus "
    "fafas ffful fifin fjfij fofao frfra fyfry gagle gdgla glglg gngrn guguj gvglv hahau "
    "heheb hihin hohmo hrhrv hthat huhun hyhye hzher iaina idind ieile igibo iiiii ikipk "
    "ioido isisl itita iuiku jajpn jvjav kakat kgkon kikik kjkua kkkaz klkal kmkhm knkan "
    "kokor krkau kskas kukur kvkom kwcor kykir lalat lbltz lglug lilim lnlin lolao ltlit "
    "lulub lvlav mgmlg mhmah mimri mkmkd mlmal mnmon mrmar msmsa mtmlt mymya nanau nbnob "
    "ndnde nenep ngndo nlnld nnnno nonor nrnbl nvnav nynya ococi ojoji omorm orori ososs "
    "papan pipli plpol pspus ptpor quque rmroh rnrun roron rurus rwkin sasan scsrd sdsnd "
    "sesme sgsag sisin skslk slslv smsmo snsna sosom sqsqi srsrp ssssw stsot susun svswe "
    "swswa tatam tetel tgtgk ththa titir tktuk tltgl tntsn toton trtur tstso tttat twtwi "
    "tytah uguig ukukr ururd uzuzb veven vivie vovol wawln wowol xhxho yiyid yoyor zazha "
    "zhzho zuzul "
    "botib cscze cywel deger elgre eubaq faper frfre hyarm isice kageo mimao mkmac msmay "
    "mybur nldut rorum skslo sqalb zhchi ";

static char low(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Row whose letters from `at` on are the `len` of text; NULL: none. */
static const char *find(const char *text, size_t len, size_t at)
{
    for (const char *row = names; *row != 0; row += ROW) {
        size_t same = 0;
        while (same < len && row[at + same] == low(text[same])) {
            same++;
        }
        if (same == len) {
            return row;
        }
    }
    return NULL;
}

/* Letters before the first '-' or the end; 0 when they are no language of two or three. */
static size_t primary(const char *text)
{
    size_t len = 0;
    while (low(text[len]) >= 'a' && low(text[len]) <= 'z') {
        len++;
    }
    return (text[len] == 0 || text[len] == '-') && (len == 2 || len == 3) ? len : 0;
}

void transcode_language(char out[static RR_LANGUAGE_MAX + 1], const char *text)
{
    size_t len = primary(text), used = 0, all = strlen(text);
    bool good =
        len > 0 && all <= RR_LANGUAGE_MAX && text[all - 1] != '-' && strncmp(text, "und", len) != 0;
    out[0] = 0;
    for (size_t i = len; good && i < all; i++) {
        char c = low(text[i]);
        good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    }
    if (!good) {
        return;
    }
    const char *row = len == 3 ? find(text, 3, 2) : NULL;
    size_t take = row != NULL ? 2 : len;
    for (; used < take; used++) {
        out[used] = row != NULL ? row[used] : low(text[used]);
    }
    memcpy(out + used, text + len, all - len + 1);
}

void transcode_language_three(char out[static 4], const char *language)
{
    size_t len = primary(language);
    const char *row = len == 2 ? find(language, 2, 0) : NULL;
    for (size_t i = 0; i < 3; i++) {
        out[i] = row != NULL ? row[2 + i] : len == 3 ? low(language[i]) : "und"[i];
    }
    out[3] = 0;
}
