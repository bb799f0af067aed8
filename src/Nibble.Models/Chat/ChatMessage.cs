namespace Nibble.Models.Chat;

/// <summary>One turn of a conversation.</summary>
/// <param name="Role">system, user, assistant or tool.</param>
/// <param name="Content">What was said.</param>
public sealed record ChatMessage(string Role, string Content);
