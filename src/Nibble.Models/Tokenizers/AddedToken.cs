namespace Nibble.Models.Tokenizers;

/// <summary>A token that is cut out of the text before anything else looks at it.</summary>
/// <param name="Id">Its number; the vocabulary may have it too.</param>
/// <param name="Content">What it looks like in the text.</param>
/// <param name="Special">Marks structure (end of text, a turn of a chat) rather than text; left out when decoding for people.</param>
/// <param name="StripLeft">Swallows the white space before it.</param>
/// <param name="StripRight">Swallows the white space after it.</param>
/// <param name="SingleWord">Only where no letter, digit or mark touches it.</param>
/// <param name="Normalized">Looked for in the normalized text rather than in the raw one.</param>
public sealed record AddedToken(int Id, string Content, bool Special, bool StripLeft = false, bool StripRight = false,
    bool SingleWord = false, bool Normalized = false);
